"""Networks that other people have trained, and the files of their weights.

    inception   the network of FID and KID; frozen reads its files
    imagenet    EfficientNet-Lite0 and SqueezeNet 1.1
    pickles     weights in pickles, of which no code is run; unpickler reads these

`gantf.features` gives them by name.
"""
