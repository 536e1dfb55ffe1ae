"""Parts of the page Latent space, top to bottom: which maps, what is shown of them, what is chosen, and three views.

making    the form for a new map, a map that is being made
choosing  the two maps of the address
shown     one map as the page sees it: points, models, the columns to colour and filter by
filters   colour, filter and search above the maps
chosen    which images are chosen: by chart, table, search or address, the same in both maps
atlas     the maps with what is chosen
draw      a chart with its measures
panel     one image, or many, that were chosen
upload    a reader's own image, placed on the maps
travel    latents decoded: dimensions, between images, means, towards a class (journeys: the last three)
trouble   near-duplicates, likely label errors, outliers
"""
