"""Labelled pictures for training and evaluation: a folder per class, CSV or Parquet, decoded once into memory."""

from training.data.dataset import SPLITS, UNSEEN, Dataset, Pictures
from training.data.loading import load
from training.data.settings import DataSettings
from training.data.skipped import Skipped

__all__ = ["SPLITS", "UNSEEN", "DataSettings", "Dataset", "Pictures", "Skipped", "load"]
