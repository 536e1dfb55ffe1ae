"""Networks: timm backbones up to a stage, the VAE, the two-layer head."""
