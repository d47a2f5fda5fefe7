"""Pages and plots: what people look at."""
