"""Speed: ``maskloop bench`` measures what a frame costs here, beside the bare trunk in the same run."""
