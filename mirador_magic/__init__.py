"""Progressive answers from local language models, in a notebook."""
