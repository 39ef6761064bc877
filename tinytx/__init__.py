"""tinytx: text in, a small language model on a small computer out, with proof that it fits."""

__version__ = "0.1.0"
