"""Trains the feature network "mnistnet" anew and stores it with its accuracy.

Usage:

    python tools/train_mnistnet.py            # writes data/mnistnet.{weights.h5,json}

Figures on `mnistnet` compare only where the SHA-256 of the weights is the same.
"""

from pathlib import Path

from gantf import features

if __name__ == "__main__":
    folder = Path(__file__).parents[1] / "data"
    accuracy = features.train_mnistnet(folder)
    print(f"{folder}/mnistnet.weights.h5: {accuracy:.1%} of the test images")
