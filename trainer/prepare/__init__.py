"""From ratings to the data folder that training reads."""
