"""What the network's settings may be, apart from torch: a command line can name it at once."""

MOST = 65536  # the largest size of any kind: far above all use, and the products of two still fit an index
MOST_ADDED = 64  # tokens of an emotion's own: what a mood appends beyond them is not learned
BLOCK_ORDERS = ("paper", "published")
OUTPUTS = ("normed", "free")
