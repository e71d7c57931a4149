"""Metrics of tasks, against scikit-image, scikit-learn, and what a hand computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from skimage.morphology import erosion
from sklearn.metrics import accuracy_score, jaccard_score

from edgeup.errors import EdgeupError
from edgeup.runtime.metrics import ALL_METRICS, psnr
from edgeup.runtime.task_depth import depth_metrics
from edgeup.runtime.task_image import image_metrics
from edgeup.runtime.task_metrics import find_task
from edgeup.runtime.task_segmentation import classes_of, segmentation_metrics


def picture(seed, shape=(2, 3, 24, 31), low=0.0, high=1.0):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(low, high, (*shape[:2], shape[2] // 4 + 1, shape[3] // 4 + 1))
    image = coarse.repeat(4, -2).repeat(4, -1)[..., : shape[2], : shape[3]]
    return (image + rng.normal(0, 0.02 * (high - low), shape)).astype(np.float32)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_pictures_as_scikit_image_has_them(low, high):
    reference = picture(0, low=low, high=high)
    candidate = reference + np.float32(0.05 * (high - low)) * picture(1)
    found = image_metrics(reference, candidate, data_range=high - low)
    wide_r, wide_c = reference.astype(np.float64), candidate.astype(np.float64)
    assert found["psnr"] == pytest.approx(
        peak_signal_noise_ratio(wide_r, wide_c, data_range=high - low), rel=1e-9
    )
    planes = zip(wide_r.reshape(-1, 24, 31), wide_c.reshape(-1, 24, 31), strict=True)
    expected = np.mean(
        [
            structural_similarity(
                *(r, c),
                data_range=high - low,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for r, c in planes
        ]
    )
    assert 0.5 < expected < 0.999
    assert found["ssim"] == pytest.approx(expected, rel=1e-9)


def test_without_a_range_the_references_own_is_taken():
    reference, candidate = picture(0), picture(0) + 0.01 * picture(3)
    span = float(reference.max()) - float(reference.min())
    assert image_metrics(reference, candidate) == image_metrics(reference, candidate, span)
    flat_r, flat_c = reference.astype(np.float64).ravel(), candidate.astype(np.float64).ravel()
    expected = peak_signal_noise_ratio(flat_r, flat_c, data_range=span)
    assert psnr(flat_r, flat_c) == pytest.approx(expected, rel=1e-9)
    assert ALL_METRICS["rmse"](flat_r, flat_c) ** 2 == pytest.approx(
        mean_squared_error(flat_r, flat_c)
    )


def test_percentiles_of_the_error():
    reference = np.zeros(1001)
    candidate = np.random.default_rng(0).permutation(np.arange(1001.0)) * (-1) ** np.arange(1001)
    found = {name: ALL_METRICS[name](reference, candidate) for name in ALL_METRICS if "p" in name}
    assert found == pytest.approx(
        {"psnr": math.nan, "p50_abs": 500, "p90_abs": 900, "p99_abs": 990, "p99_9_abs": 999},
        nan_ok=True,
    )
    assert math.isnan(ALL_METRICS["p50_abs"](np.zeros(0), np.zeros(0)))


def test_equal_pictures_and_small_and_flat_and_broken_ones():
    same = picture(0)
    assert image_metrics(same, same) == {"psnr": math.inf, "ssim": pytest.approx(1.0)}
    small = image_metrics(same[..., :10, :], same[..., :10, :] + 0.1)
    assert math.isnan(small["ssim"])
    assert small["psnr"] > 0
    flat = np.ones((1, 1, 16, 16), np.float32)
    assert all(math.isnan(value) for value in image_metrics(flat, flat + 1).values())
    broken = same.copy()
    broken[0, 0, 0, 0] = np.nan
    assert image_metrics(same, broken) == {"psnr": -math.inf, "ssim": -math.inf}
    assert all(math.isnan(value) for value in image_metrics(broken, same).values())


def scores(seed, classes=5, size=(2, 40, 30)):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (size[0], size[1] // 5, size[2] // 5))
    labels = labels.repeat(5, 1).repeat(5, 2)
    onehot = np.moveaxis(np.eye(classes)[labels], -1, 1)
    return (onehot + rng.uniform(0, 1.3, onehot.shape)).astype(np.float32)


def test_classes_as_scikit_learn_counts_them():
    reference, candidate = scores(0), scores(0) + scores(1) * 0.4
    r, c = reference.argmax(1).ravel(), candidate.argmax(1).ravel()
    found = segmentation_metrics(reference, candidate)
    assert 0.01 < found["argmax_disagreement"] < 0.9
    assert found["argmax_disagreement"] == pytest.approx(1 - accuracy_score(r, c))
    assert found["mean_iou"] == pytest.approx(jaccard_score(r, c, average="macro"))


def test_boundary_iou_as_erosions_have_it():
    """Cheng et al. take the mask less ``width`` erosions by 3x3, with nothing around it."""
    reference, candidate = scores(0), scores(0) + scores(1) * 0.4
    r, c = reference.argmax(1), candidate.argmax(1)
    width = max(1, round(0.02 * math.hypot(40, 30)))
    assert width == 1

    def boundary(mask):
        padded = np.pad(mask, 1).astype(np.uint8)
        for _ in range(width):
            padded = erosion(padded, np.ones((3, 3), np.uint8))
        return mask & (padded[1:-1, 1:-1] == 0)

    ious = []
    for number in range(5):
        pairs = [[boundary(mask) for mask in side == number] for side in (r, c)]
        a, b = (np.stack(side) for side in pairs)
        ious.append((a & b).sum() / (a | b).sum())
    found = segmentation_metrics(reference, candidate)["boundary_iou"]
    assert found == pytest.approx(float(np.mean(ious)))
    assert found < segmentation_metrics(reference, candidate)["mean_iou"]


def test_a_wide_boundary_by_hand():
    """At 200 x 200 the width is 6: a square of 40 shifted by 1 shares little of its boundary."""
    square = np.zeros((1, 200, 200), np.uint8)
    square[0, 80:120, 80:120] = 1
    shifted = np.roll(square, 1, axis=2)
    found = segmentation_metrics(square, shifted)
    width = round(0.02 * math.hypot(200, 200))
    assert width == 6
    ring = 40 * 40 - 28 * 28
    # What both squares hold (40 x 39), less what lies inside one of them at least (28 x 29).
    shared = 40 * 39 - 28 * 29
    iou_one = shared / (2 * ring - shared)
    assert found["mean_iou"] == pytest.approx(
        (40 * 39 / (40 * 41) + (40000 - 40 * 41) / (40000 - 40 * 39)) / 2
    )
    background = _background_iou(square, shifted, width)
    assert found["boundary_iou"] == pytest.approx((iou_one + background) / 2)
    assert iou_one < 0.9


def _background_iou(a, b, width):
    rings = []
    for mask in (a[0] == 0, b[0] == 0):
        inside = np.pad(mask, width)
        shifts = [
            inside[y : y + 200, x : x + 200]
            for y in range(2 * width + 1)
            for x in range(2 * width + 1)
        ]
        rings.append(mask & ~np.logical_and.reduce(shifts))
    return (rings[0] & rings[1]).sum() / (rings[0] | rings[1]).sum()


def test_ignored_pixels_and_maps_of_classes():
    reference = np.array([[[0, 0, 1, 255]]], np.uint8)
    candidate = np.array([[[[0, 1, 1, 1]]]], np.int64)
    found = segmentation_metrics(reference, candidate)
    assert found["argmax_disagreement"] == pytest.approx(1 / 3)
    assert found["mean_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    ignored = segmentation_metrics(np.full((1, 2, 2), 255, np.uint8), np.zeros((1, 2, 2), np.uint8))
    assert all(math.isnan(value) for value in ignored.values())


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 4), (4, 4)])
def test_what_holds_no_classes_is_refused(shape):
    with pytest.raises(EdgeupError, match="wanted scores"):
        classes_of(np.zeros(shape, np.float32))
    with pytest.raises(EdgeupError, match="differ in size: 1x5x4 and 1x4x4"):
        segmentation_metrics(np.zeros((1, 4, 4), np.uint8), np.zeros((1, 5, 4), np.uint8))


def test_depth_by_hand():
    reference = np.array([[1.0, 2.0, 4.0, 0.0], [8.0, 10.0, np.nan, 5.0]], np.float32)
    candidate = np.array([[1.1, 2.6, 3.9, 7.0], [8.0, -1.0, 1.000, 5.0]], np.float32)
    found = depth_metrics(reference, candidate)
    errors = np.array([0.1, 0.6, 0.1, 0.0, 11.0, 0.0])
    assert found["abs_rel"] == pytest.approx(
        np.mean(errors / np.array([1, 2, 4, 8, 10, 5])), rel=1e-6
    )
    assert found["rmse"] == pytest.approx(math.sqrt(np.mean(errors**2)), rel=1e-6)
    assert found["delta_1.25"] == pytest.approx(4 / 6)  # 2.6 / 2 = 1.3, and -1 for 10
    assert math.isnan(found["edge_error"])  # two rows have no inside


def test_nan_in_the_candidate_leaves_no_good_figure():
    depth = np.add.outer(np.arange(1.0, 9.0), np.arange(8.0)).astype(np.float32)
    broken = depth.copy()
    broken[:, :4] = np.nan
    found = depth_metrics(depth, broken)
    assert found["abs_rel"] == found["rmse"] == found["edge_error"] == math.inf
    assert found["delta_1.25"] == 0.5
    unmeasured = depth.copy()
    unmeasured[:, :4] = 0
    assert depth_metrics(unmeasured, broken)["rmse"] == 0  # where nothing was measured
    scored = scores(0)
    holes = scored.copy()
    holes[:, :, :10] = np.nan
    assert segmentation_metrics(scored, holes)["argmax_disagreement"] == 0.25


def test_the_edge_error_is_that_of_the_steepest_pixels():
    """A step of 1 to 5 between columns 19 and 20: the gradient is 2 there, 0 elsewhere."""
    reference = np.ones((1, 1, 40, 40))
    reference[..., 20:] = 5.0
    blurred = reference.copy()
    blurred[..., 19], blurred[..., 20] = 2.0, 4.0
    found = depth_metrics(reference, blurred)
    assert found["edge_error"] == pytest.approx(1.0)
    assert found["abs_rel"] == pytest.approx((1 / 1 + 1 / 5) / 40)
    lifted = depth_metrics(reference, reference + 0.5)
    assert lifted["edge_error"] == pytest.approx(0.5)
    flat = np.ones((1, 1, 9, 9))
    assert math.isnan(depth_metrics(flat, flat + 1)["edge_error"])


def test_depth_without_a_valid_pixel():
    zeros = np.zeros((1, 1, 4, 4), np.float32)
    assert all(math.isnan(value) for value in depth_metrics(zeros, zeros + 1).values())
    with pytest.raises(EdgeupError, match="floating"):
        depth_metrics(zeros.astype(np.int32), zeros.astype(np.int32))


def test_worst_and_mean_over_cases():
    task = find_task("depth")
    cases = [
        {"abs_rel": 0.1, "rmse": 1.0, "delta_1.25": 0.9, "edge_error": math.nan},
        {"abs_rel": 0.3, "rmse": 0.5, "delta_1.25": 1.0, "edge_error": math.nan},
    ]
    worst = {"abs_rel": 0.3, "rmse": 1.0, "delta_1.25": 0.9, "edge_error": math.nan}
    assert task.worst(cases) == pytest.approx(worst, nan_ok=True)
    mean = {"abs_rel": 0.2, "rmse": 0.75, "delta_1.25": 0.95, "edge_error": math.nan}
    assert task.mean(cases) == pytest.approx(mean, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "data_range", "words"),
    [
        ("dept", None, "unknown task 'dept': did you mean depth"),
        ("depth", 1.0, "is for --task image; depth has none"),
        ("image", 0.0, "wanted a number above 0"),
        ("image", math.inf, "wanted a number above 0"),
    ],
)
def test_tasks_that_are_refused(name, data_range, words):
    with pytest.raises(EdgeupError, match=words):
        find_task(name, data_range)
