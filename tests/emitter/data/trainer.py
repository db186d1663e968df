"""Hugging Face's Trainer with our callback for it; the first argument is the client_run_id of a run begun before, if any."""

import sys

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import tracehouse as cm
from tracehouse.integrations.transformers import TracehouseCallback

before = sys.argv[1:]
if before:
    cm.init_run(client_run_id=before[0])
tiny = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=50)
data = [{"input_ids": torch.randint(0, 50, (8,)), "labels": torch.tensor(n % 2)} for n in range(64)]
args = TrainingArguments(
    output_dir="out",
    max_steps=6,
    logging_steps=2,
    per_device_train_batch_size=8,
    report_to=[],
    eval_strategy="steps",
    eval_steps=3,
    save_strategy="no",
    use_cpu=True,
    run_name="bert-tiny",
    disable_tqdm=True,
    hub_token="hf_abcdefghijklmnopqrst",
)
trainer = Trainer(
    model=BertForSequenceClassification(tiny),
    args=args,
    train_dataset=data,
    eval_dataset=data[:8],
    callbacks=[TracehouseCallback(project="tuning", client_run_id="begun-by-it")],
)
trainer.train()
trainer.evaluate()
