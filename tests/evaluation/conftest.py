"""A classifier of the digits, trained and exported once, whose features are compared."""

from pathlib import Path

import pytest

from jaxgen.config import Classifier, ClassifierConfig, DataConfig, TrainingConfig
from jaxgen.training.restore import load_trained
from jaxgen.training.trainer import train


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Path:
    from jaxgen_export.export import export_model

    config = Classifier(
        data=DataConfig(dataset="digits", size=8, channels=1),
        model=ClassifierConfig(widths=(16,), features=24, dropout=0.0),
        training=TrainingConfig(steps=200, batch_size=64, lr=3e-3, checkpoint_every=200, sample_every=200),
    )
    folder = tmp_path_factory.mktemp("extractor")
    train(config, folder / "run")
    trained = load_trained(folder / "run")
    export_model(config, trained.params, folder / "classifier.onnx", classes=trained.classes)
    return folder / "classifier.onnx"
