"""VITS: end-to-end speech synthesis (Kim, Kong & Son 2021, arXiv:2106.06103)."""
