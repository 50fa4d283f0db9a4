"""The paper's tables and the miniature's own: fit and draw what is missing, measure, write."""
