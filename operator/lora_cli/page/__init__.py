"""Pages for a browser: one offline HTML file each, without scripts, that shows several runs."""
