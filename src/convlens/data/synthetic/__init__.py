"""The synthetic data set: cats and dogs drawn by code, told apart by their shape alone, every part's place known."""
