"""Ten families of transformers in tiny configurations, with random weights."""

TINY = {"depth": 1, "embed_dim": 16, "num_heads": 2}
STAGED = {"depths": (1, 1), "embed_dim": 8, "num_heads": (1, 2)}
FAMILIES = {
    "vit_tiny_patch16_224": TINY,
    "deit_tiny_patch16_224": TINY,
    "deit3_small_patch16_224": TINY,
    "vit_small_patch14_dinov2": TINY,
    "vit_small_patch16_dinov3": TINY,
    "eva02_tiny_patch14_224": TINY,
    "vit_base_patch16_siglip_224": TINY,
    "beit_base_patch16_224": TINY,
    "swin_tiny_patch4_window7_224": STAGED,
    "cait_xxs24_224": TINY | {"depth_token_only": 1},
}
