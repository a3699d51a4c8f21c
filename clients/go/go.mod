// SPDX-License-Identifier: Apache-2.0
module github.com/envdial/envdial/clients/go

go 1.19
