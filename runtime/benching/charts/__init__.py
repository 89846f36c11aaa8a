"""Charts: a report as pictures, in SVG. They only compute; `picture` puts all of them together."""
