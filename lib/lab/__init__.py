"""A live network in the page: exports networks and images, and holds what runs in the browser."""
