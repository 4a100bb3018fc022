//! A kernel on the tape of automatic differentiation: what it keeps, how it is recomputed, and its backward pass.
//! Not from the paper; Burn records its own operations in the same way.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use crate::Kernel;

/// A tensor on the tape, with either checkpointing strategy.
type Recorded = FloatTensor<Autodiff<Flex>>;

/// Runs `kernel` and records it on the tape.
pub fn record<C, K, const N: usize>(kernel: K, inputs: [Recorded; N]) -> Recorded
where
    C: CheckpointStrategy,
    K: Kernel<N>,
{
    let step = Back(kernel.clone()).prepare::<C>(inputs.each_ref().map(Recorded::node));
    let step = if K::HEAVY {
        step.compute_bound()
    } else {
        let again = Again { kernel: kernel.clone(), inputs: inputs.each_ref().map(Recorded::id) };
        step.memory_bound().retro_forward(again).parents(&inputs)
    };
    match step.stateful() {
        OpsKind::Tracked(mut step) => {
            let mut reads = kernel.reads().into_iter();
            let kept = inputs.each_ref().map(|input| reads.next()?.then(|| step.checkpoint(input)));
            let output = kernel.forward(inputs.map(Recorded::into_primitive));
            step.finish(kept, output)
        }
        OpsKind::UnTracked(step) => step.finish(kernel.forward(inputs.map(Recorded::into_primitive))),
    }
}

/// The backward pass of a kernel.
#[derive(Debug)]
struct Back<K>(K);

impl<K: Kernel<N>, const N: usize> Backward<Flex, N> for Back<K> {
    type State = [Option<NodeId>; N];

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let inputs = ops.state.map(|id| Some(checkpointer.retrieve_node_output::<FlexTensor>(id?)));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = self.0.backward(inputs, gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// Recomputes the output of a kernel that was not kept.
#[derive(Debug)]
struct Again<K, const N: usize> {
    kernel: K,
    inputs: [NodeId; N],
}

impl<K: Kernel<N>, const N: usize> RetroForward for Again<K, N> {
    fn forward(&self, states: &mut BackwardStates, out: NodeId) {
        let inputs = self.inputs.map(|id| states.get_state::<FlexTensor>(&id));
        states.save(out, self.kernel.forward(inputs));
    }
}
