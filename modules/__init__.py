"""The program. Each sub-package is one floor of the house; CONTRIBUTING.md holds the map."""
