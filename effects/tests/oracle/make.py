#!/usr/bin/env python3
"""Writes vectors.csv: answers of well-kept implementations to inputs drawn here.

    python3 -m venv v && v/bin/pip install numpy scipy && v/bin/python make.py > vectors.csv

Each row: what, numbers of the first list joined by spaces, of the second list, expected numbers.
"""

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(20261121)


def row(what, first, second, expected):
    def text(values):
        return " ".join(repr(float(v)) for v in np.atleast_1d(values))

    print(",".join([what, text(first), text(second), text(expected)]))


print(f"# numpy {np.__version__} scipy {scipy.__version__}")
for n in (1, 2, 7, 30):
    x = np.round(rng.normal(size=n), 3)
    for q in (0.0, 0.05, 0.5, 0.95, 1.0):
        row("quantile", x, q, np.quantile(x, q))
    row("spread", x, 0, 1.4826 * stats.median_abs_deviation(x))
for n in (5, 12, 40):
    a = np.round(rng.normal(size=n), 3)
    t = np.sort(np.round(rng.uniform(0, 100, size=n), 3))
    row("slope", t, a, stats.theilslopes(a, t).slope)
for n in (1, 5, 40):
    p = np.round(rng.uniform(size=n) ** 3, 6)
    row("bh", p, np.ones(n), stats.false_discovery_control(p, method="bh"))

# the mixture over the grid, from binomial log-probabilities instead of our formula
grid = np.arange(-48, 49)
rho = 2.0 ** (grid / 8)
weight = 1 / (1 + np.abs(grid))
for floor, phi in ((1.0, 1.0), (1.25, 1.0), (1.25, 3.0)):
    for scale in (0.02, 1.0, 30.0):
        x1, x0 = rng.poisson(2 * scale, size=20), rng.poisson(scale, size=20)
        n1, n0 = 150.0, 100.0

        def loglik(r):
            theta = r * n1 / (r * n1 + n0)
            return stats.binom.logpmf(x1, x1 + x0, theta).sum()

        beyond = rho > floor * (1 + 1e-12)
        terms = np.array([(loglik(r) - loglik(floor)) / phi for r in rho[beyond]])
        e = (weight[beyond] * np.exp(terms)).sum() / weight[beyond].sum()
        row("counts", [floor, phi, n1, n0], np.concatenate([x1, x0]), e)
for n in (100, 1000, 50000):
    # Howard and Ramdas 2022, theorem 2, m = 100
    row("deviation", n, 0.05, 0.85 * np.sqrt((np.log(1 + np.log(n / 100)) + 0.8 * np.log(1612 / 0.05)) / n))
