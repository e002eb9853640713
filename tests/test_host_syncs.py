"""Waits of the host, counted in a trace: torch's own for the spans, with CUDA calls written into it by hand."""

import json

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from robopolicy.host_syncs import SPAN, host_syncs_per_step, syncs_per_span

STEPS = 4


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> list[dict]:
    """Events of a profile of four spans, with work inside and between."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            torch.zeros(8).sin()
            with record_function(SPAN):
                torch.ones(8).cos()
    file = tmp_path_factory.mktemp("trace") / "trace.json"
    profiler.export_chrome_trace(str(file))
    return json.loads(file.read_text())["traceEvents"]


def call(name: str, at: float, category: str = "cuda_runtime") -> dict:
    return {"ph": "X", "cat": category, "name": name, "pid": 1, "tid": 1, "ts": at, "dur": 0.1}


def inside(trace: list[dict]) -> list[float]:
    """The beginning of every operation inside a span [us]."""
    return [event["ts"] for event in trace if event.get("name") == "aten::cos"]


def outside(trace: list[dict]) -> list[float]:
    """The beginning of every operation between the spans [us]."""
    return [event["ts"] for event in trace if event.get("name") == "aten::sin"]


def test_the_trace_is_what_the_other_tests_take_it_for(trace):
    assert len(inside(trace)) == len(outside(trace)) == STEPS


def test_a_graph_launch_does_not_wait(trace):
    launches = [call("cudaGraphLaunch", at) for at in inside(trace)]
    copies = [call("cudaMemcpyAsync", at) for at in inside(trace)]
    assert syncs_per_span(trace + launches + copies) == 0.0


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("cudaStreamSynchronize", "cuda_runtime"),
        ("cudaDeviceSynchronize", "cuda_runtime"),
        ("cudaEventSynchronize", "cuda_runtime"),
        ("cudaMemcpy", "cuda_runtime"),
        ("cudaMemcpy2D", "cuda_runtime"),
        ("cuStreamSynchronize", "cuda_driver"),
        ("cuCtxSynchronize", "cuda_driver"),
        ("cuMemcpyDtoH_v2", "cuda_driver"),
    ],
)
def test_every_wait_inside_counts_and_none_outside(trace, name, category):
    launches = [call("cudaGraphLaunch", at) for at in inside(trace)]
    waits = [call(name, at, category) for at in inside(trace)]
    assert syncs_per_span(trace + launches + waits) == 1.0
    assert syncs_per_span(trace + launches + waits[:1]) == 1 / STEPS
    assert syncs_per_span(trace + launches + [call(name, at, category) for at in outside(trace)]) == 0.0


@pytest.mark.parametrize(
    "name",
    [
        "cudaLaunchKernel",
        "cuLaunchKernel",
        "cuMemcpyDtoHAsync_v2",
        "cudaMemcpy2DAsync",
        "cudaMemsetAsync",
        "cudaMalloc",
    ],
)
def test_what_does_not_wait_does_not_count(trace, name):
    assert syncs_per_span(trace + [call(name, at) for at in inside(trace)]) == 0.0


def test_only_cuda_calls_count(trace):
    launches = [call("cudaGraphLaunch", at) for at in inside(trace)]
    named_alike = [call("cudaStreamSynchronize", at, "cpu_op") for at in inside(trace)]
    assert syncs_per_span(trace + launches + named_alike) == 0.0


def test_the_span_on_the_gpu_does_not_count_again(trace):
    """It lies later than the host's, where calls of the next step may be."""
    before = outside(trace)[0]
    on_gpu = {**call(SPAN, before - 1.0, "gpu_user_annotation"), "dur": 1e9}
    launches = [call("cudaGraphLaunch", at) for at in inside(trace)]
    assert syncs_per_span([*trace, on_gpu, *launches, call("cudaDeviceSynchronize", before)]) == 0.0


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_no_cuda_call_is_not_the_same_as_no_wait(trace):
    assert syncs_per_span(trace) is None
    assert host_syncs_per_step(torch.sin, torch.zeros(3, 2, 2)) is None


def test_no_span_is_an_error(trace):
    with pytest.raises(ValueError, match="no span 'other'"):
        syncs_per_span(trace, "other")
