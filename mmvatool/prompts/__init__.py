"""Words for music generators, and music by one of them."""
