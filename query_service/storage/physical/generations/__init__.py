"""Creates the indices of generations, checks their mappings, and decides which of them readers see."""
