"""What all pages for people share: one offline HTML file with a style sheet and charts, without scripts."""
