"""Fetching from APIs over HTTP: tokens, budgets, pages, raw files, raw tables."""
