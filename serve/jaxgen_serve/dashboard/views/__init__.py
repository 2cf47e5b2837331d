"""The pages of the dashboard, one module each; a page is the function `page` of its module."""
