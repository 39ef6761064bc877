"""Presets: valid settings, within the size limit, the default one without any change."""

import pytest

from tinytx.config import MAX_PARAMETERS, Settings, load_settings
from tinytx.presets import DEFAULT, PRESETS, Measured, Preset


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_is_made_of_valid_settings_within_the_size_limit(preset: Preset) -> None:
    settings = load_settings(preset=preset.settings)
    assert settings.parameters <= MAX_PARAMETERS
    assert 4 * settings.parameters <= 10_000_000


def test_the_default_preset_is_the_default_settings() -> None:
    assert load_settings(preset=PRESETS[DEFAULT].settings) == Settings()


def test_no_two_presets_are_the_same() -> None:
    settings = [load_settings(preset=preset.settings) for preset in PRESETS.values()]
    assert all(a != b for i, a in enumerate(settings) for b in settings[:i])


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_figures_belong_to_the_shape_that_the_preset_has_now(preset: Preset) -> None:
    if preset.measured is not None:
        assert preset.measured.parameters == load_settings(preset=preset.settings).parameters


def test_a_story_tells_time_memory_size_and_quality() -> None:
    measured = Measured(
        seconds=125.4, peak_bytes=512_345_678, parameters=473_760, bits_per_byte=1.5
    )
    preset = Preset("mine", "for me", {}, measured)
    assert preset.story == (
        "for me: 2:05 min, peak 512 MB, 473,760 parameters (1.9 MB), 1.500 bits per byte"
    )
