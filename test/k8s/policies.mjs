// SPDX-License-Identifier: MIT
//
// Would the network let this through? NetworkPolicies as Kubernetes defines them: once a policy selects a pod for a direction,
// only what some policy allows goes that way.
//
//   const network = new Network(objects);
//   network.in({ address: '10.0.0.5' }, pod, 8080)      // from an address, or { namespace, labels }, to a pod
//   network.out(pod, { address: '93.184.216.34' }, 443)
//
// A pod is { labels }, of the objects' own namespace.

import { isIPv4 } from 'node:net';
import { matches } from './support.mjs';

const number = (address) => {
  if (!isIPv4(address)) throw new Error(`${address} is no IPv4 address`);
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
};

export function within(address, cidr) {
  const [network, bits] = cidr.split('/');
  const size = 2 ** (32 - Number(bits));
  return Math.floor(number(address) / size) === Math.floor(number(network) / size);
}

function isPeer(peer, { address, namespace, labels }) {
  if (peer.ipBlock) return address !== undefined && within(address, peer.ipBlock.cidr) && !(peer.ipBlock.except ?? []).some((cidr) => within(address, cidr));
  if (address !== undefined) return false;
  const here = peer.namespaceSelector ? matches({ 'kubernetes.io/metadata.name': namespace }, peer.namespaceSelector) : namespace === undefined;
  return here && (!peer.podSelector || matches(labels, peer.podSelector));
}

export class Network {
  constructor(objects) {
    this.policies = objects.filter(({ kind }) => kind === 'NetworkPolicy').map(({ spec }) => spec);
  }

  allowed(direction, pod, peer, port, protocol) {
    const [rules, side] = direction === 'Ingress' ? ['ingress', 'from'] : ['egress', 'to'];
    const chosen = this.policies.filter(({ podSelector, policyTypes }) => policyTypes.includes(direction) && matches(pod.labels, podSelector));
    return chosen.length === 0 || chosen.some((policy) => (policy[rules] ?? []).some((rule) => (!rule[side] || rule[side].some((one) => isPeer(one, peer)))
      && (!rule.ports || rule.ports.some((one) => one.port === port && one.protocol === protocol))));
  }

  in(peer, pod, port, protocol = 'TCP') {
    return this.allowed('Ingress', pod, peer, port, protocol);
  }

  out(pod, peer, port, protocol = 'TCP') {
    return this.allowed('Egress', pod, peer, port, protocol);
  }
}
