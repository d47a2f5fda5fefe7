"""How good a model is: VA and similarity (Table 1 of the paper), text-to-music retrieval (Table 2)."""
