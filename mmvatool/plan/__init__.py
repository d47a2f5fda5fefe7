"""What is to be rendered, as a file: the plan, and its forms for editors."""
