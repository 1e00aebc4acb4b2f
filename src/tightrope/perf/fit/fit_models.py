"""The models whose steps are fitted: sizes from their public ``config.json``, as facts."""

from dataclasses import dataclass

from tightrope.base.records import Architecture


@dataclass(frozen=True, slots=True)
class FitModel:
    """One open model: its sizes, and where aiconfigurator has its configuration."""

    name: str
    repository: str
    architecture: Architecture
    config: tuple[tuple[str, object], ...] = ()
    """Keys of ``config.json`` where aiconfigurator does not carry the file."""
    experts: bool = False
    """Whether it is a mixture of experts."""


MODELS = (
    FitModel("llama-3.1-8b", "meta-llama/Meta-Llama-3.1-8B", Architecture(8.03e9, 32, 8, 128)),
    FitModel(
        "qwen2.5-7b",
        "Qwen/Qwen2.5-7B",
        Architecture(7.62e9, 28, 4, 128),
        (
            ("architectures", ["Qwen2ForCausalLM"]),
            ("model_type", "qwen2"),
            ("hidden_act", "silu"),
            ("hidden_size", 3584),
            ("intermediate_size", 18944),
            ("num_hidden_layers", 28),
            ("num_attention_heads", 28),
            ("num_key_value_heads", 4),
            ("vocab_size", 152064),
            ("max_position_embeddings", 131072),
            ("torch_dtype", "bfloat16"),
        ),
    ),
    FitModel("qwen3-1.7b", "Qwen/Qwen3-1.7B", Architecture(2.03e9, 28, 8, 128)),
    FitModel("qwen3-8b", "Qwen/Qwen3-8B", Architecture(8.19e9, 36, 8, 128)),
    FitModel("qwen3-32b", "Qwen/Qwen3-32B", Architecture(32.76e9, 64, 8, 128)),
    FitModel("llama-3.3-70b", "meta-llama/Meta-Llama-3.1-70B", Architecture(70.55e9, 80, 8, 128)),
    FitModel("mixtral-8x7b", "mistralai/Mixtral-8x7B-v0.1", Architecture(46.70e9, 32, 8, 128), experts=True),
)
"""Llama 3.3 70B has the sizes of Llama 3.1 70B. Parameters as the publishers state them; 2.03e9 counts Qwen3-1.7B's embeddings twice."""
