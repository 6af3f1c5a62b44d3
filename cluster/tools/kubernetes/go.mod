module lora-operator.dev/cluster/tools/kubernetes

go 1.26
