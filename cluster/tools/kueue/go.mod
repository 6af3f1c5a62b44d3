module lora-operator.dev/cluster/tools/kueue

go 1.26
