"""The results of the stages, sooner."""
