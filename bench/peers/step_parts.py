"""What surrounds the network in a step of Noise As Targets, in plain PyTorch on any device: the
first convolution over blocks of pixels, preparing pictures, assignments. Used by pytorch_cuda.py.
"""

BLOCK = 4  # the stride of the first convolution


def to_blocks(images):
    """(n, c, 224, 224) to (n, 16 c, 57, 57): block b covers rows 4 b - 2 ... 4 b + 1."""
    from torch.nn import functional

    padded = functional.pad(images, (2, 2, 2, 2))
    return functional.pixel_unshuffle(padded, BLOCK)


def convolution_over_blocks(conv):
    """The 11 x 11 convolution of stride 4 and padding 2 as a 3 x 3 one on to_blocks(). The twelfth
    row and column that this adds are zero and get no gradient."""
    import torch
    from torch import nn
    from torch.nn import functional

    outputs, channels, _, _ = conv.weight.shape
    blocked = nn.Conv2d(channels * BLOCK**2, outputs, 3, bias=False)
    blocked.to(conv.weight)
    with torch.no_grad():
        weight, inside = (
            functional.pixel_unshuffle(functional.pad(values, (0, 1, 0, 1)), BLOCK)
            for values in (conv.weight, torch.ones_like(conv.weight))
        )
        blocked.weight.copy_(weight)
    blocked.register_buffer("inside", inside, persistent=False)  # moves with the weights
    blocked.weight.register_hook(lambda gradient: gradient * blocked.inside)
    return blocked


# ---- what surrounds the network -----------------------------------------------------------------


def prepare(store, ids, corners, flips, side):
    """Crop, mirror, normalise each picture, mean of the channels, Sobel: (n, 2, side, side)."""
    import torch
    from torch.nn import functional

    steps = torch.arange(side, device=store.device)
    columns = torch.where(flips[:, None], side - 1 - steps, steps)
    rows = (corners[:, :1] + steps)[:, :, None]
    columns = (corners[:, 1:] + columns)[:, None, :]
    pictures = store[ids[:, None, None], rows, columns].float()
    deviation, mean = torch.std_mean(pictures, dim=(1, 2, 3), correction=0, keepdim=True)
    gray = ((pictures - mean) / deviation).mean(3).unsqueeze(1)
    x = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=store.device)
    return functional.conv2d(gray, torch.stack([x, x.T]).unsqueeze(1), padding=1)


def assign_with_scipy(scores):
    import torch
    from scipy.optimize import linear_sum_assignment

    columns = linear_sum_assignment(scores.float().cpu().numpy(), maximize=True)[1]
    return torch.from_numpy(columns).to(scores.device)


def assign_by_auction(scores, final=1e-4, shrink=0.2):
    """Bertsekas' auction, all free rows bidding at once, with prices kept from one epsilon to the
    next. The sum is within n * final * (largest - smallest score) of the best."""
    import torch

    n = scores.shape[0]
    if n == 1:
        return torch.zeros(1, dtype=torch.long, device=scores.device)
    span = (scores.max() - scores.min()).clamp(min=1e-12)
    prices = torch.zeros(n, device=scores.device)
    share = 0.25
    while True:
        row_of_column = torch.full((n,), -1, device=scores.device)
        column_of_row = torch.full((n,), -1, device=scores.device)
        while True:
            free = (column_of_row < 0).nonzero().squeeze(1)
            if free.numel() == 0:
                break
            top = (scores[free] - prices).topk(2, dim=1)
            wanted = top.indices[:, 0]
            bids = prices[wanted] + top.values[:, 0] - top.values[:, 1] + share * span
            best = torch.full_like(prices, -torch.inf).scatter_reduce(0, wanted, bids, "amax")
            leads = bids == best[wanted]
            winner = torch.full((n,), n, device=scores.device)
            winner = winner.scatter_reduce(0, wanted[leads], free[leads], "amin")
            won = (winner < n).nonzero().squeeze(1)
            displaced = row_of_column[won]
            column_of_row[displaced[displaced >= 0]] = -1
            row_of_column[won] = winner[won]
            column_of_row[winner[won]] = won
            prices[won] = best[won]
        if share <= final:
            return column_of_row
        share = max(shrink * share, final)


ASSIGNMENTS = {"scipy": assign_with_scipy, "auction": assign_by_auction}
