"""Whether a GPU keeps its promises, with random weights of full size, so that nothing has to be fetched."""
