"""Figures: each a function of one table, all in one style."""
