"""Tools for the makers of Easel; the program itself imports nothing from here."""
