"""Hugging Face's Trainer with its own wandb callback."""

import sys

import torch

import tracehouse.wandb as wandb

sys.modules["wandb"] = wandb
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

tiny = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=50)
data = [{"input_ids": torch.randint(0, 50, (8,)), "labels": torch.tensor(n % 2)} for n in range(64)]
args = TrainingArguments(
    output_dir="out",
    max_steps=6,
    logging_steps=2,
    per_device_train_batch_size=8,
    report_to=["wandb"],
    eval_strategy="steps",
    eval_steps=3,
    save_steps=3,
    use_cpu=True,
    run_name="bert-tiny",
    disable_tqdm=True,
)
trainer = Trainer(model=BertForSequenceClassification(tiny), args=args, train_dataset=data, eval_dataset=data[:8])
trainer.train()
wandb.finish()
