"""The theory's own experiments: closed forms, numbers and pictures of small problems.

pointmass   a point against a point: vector fields, SMMD and GC-MMD where MMD jumps
bias        unbiased gradients, biased critics, FID against KID, from critics and scores
particles   points that move by the losses' gradients
points      generators of points: fixed kernel, trained features, WGAN-GP

Each has `run(folder, **settings)`, which writes its pictures into the folder and
gives its figures by name; the scripts of my_tests/ call it.
"""
