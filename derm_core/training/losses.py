"""Terms of a VAE's loss beside the ELBO: agreement of two views, edges, structure, free bits. All in float32.

Shapes: b images (of this process), n images of the whole batch, d dimensions of the projection, z of the latent space.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SSIM_WINDOW = 7  # pixels, as in scikit-image's default
SSIM_C1, SSIM_C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # Wang et al. 2004, for values in [-1, 1]


def nt_xent_loss(
    first_bd: Tensor,
    second_bd: Tensor,
    all_first_nd: Tensor,
    all_second_nd: Tensor,
    temperature: float,
    begin: int = 0,
) -> Tensor:
    """Normalised temperature-scaled cross-entropy, NT-Xent (Chen et al. 2020, arXiv 2002.05709, eq. 1).

    Each of the 2 b projections is to tell its image's other view from all other 2 n − 2 of the batch, by cosine
    similarity. all_*: projections of the whole batch, of which these are rows `begin` onwards. Mean over the 2 b.
    """
    n, own = len(all_first_nd), torch.arange(begin, begin + len(first_bd), device=first_bd.device)
    own = torch.cat([own, own + n])
    mine = F.normalize(torch.cat([first_bd, second_bd]).float(), dim=1)
    others = F.normalize(torch.cat([all_first_nd, all_second_nd]).float(), dim=1)
    itself = own[:, None] == torch.arange(2 * n, device=own.device)
    return F.cross_entropy(
        (mine @ others.T / temperature).masked_fill(itself, float("-inf")), (own + n) % (2 * n)
    )


def gradient_difference(recon_bchw: Tensor, target_bchw: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels' differences, horizontal and vertical.

    The gradient difference loss of Mathieu, Couprie & LeCun 2016 (arXiv 1511.05440, eq. 6, alpha 1), with
    the differences' signs kept.
    """
    error_bchw = recon_bchw.float() - target_bchw.float()
    return error_bchw.diff(dim=2).abs().mean() + error_bchw.diff(dim=3).abs().mean()


def ssim_loss(recon_bchw: Tensor, target_bchw: Tensor) -> Tensor:
    """1 − SSIM, 0 to 2, of images in [-1, 1] (Wang et al. 2004, eq. 13; as a loss Zhao et al. 2017, arXiv 1511.08861).

    Means and (population) variances over uniform windows of 7 × 7 pixels that lie inside the image; mean over these.
    """
    x, y = recon_bchw.float(), target_bchw.float()
    window = min(SSIM_WINDOW, x.shape[-1])
    moments = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y]), window, stride=1).chunk(5)
    mean_x, mean_y = moments[:2]
    var_x, var_y = (
        square - mean.square() for square, mean in ((moments[2], mean_x), (moments[3], mean_y))
    )
    both = mean_x * mean_y
    similarity = (
        (2 * both + SSIM_C1)
        * (2 * (moments[4] - both) + SSIM_C2)
        / ((mean_x.square() + mean_y.square() + SSIM_C1) * (var_x + var_y + SSIM_C2))
    )
    return 1 - similarity.mean()


def free_bits_kl(kl_nz: Tensor, free: float) -> Tensor:
    """Sum over latent dimensions of max(free, mean KL over the batch), in nats: free bits.

    A dimension's KL below `free` costs nothing more (Kingma et al. 2016, arXiv 1606.04934, app. C.8).
    """
    return kl_nz.mean(dim=0).clamp(min=free).sum()
