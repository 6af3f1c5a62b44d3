module lora-operator.dev/cluster/tools/helm

go 1.26
