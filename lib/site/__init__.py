"""Runs the chapters and renders the pages; knows no machine learning."""
