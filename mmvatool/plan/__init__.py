"""Plans: what is rendered and how, as files for `render` and for editors."""
