"""User studies: a page that people answer on a phone or a computer, and the analysis of their answers."""
