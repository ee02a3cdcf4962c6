import { Component, type ComponentChildren } from "preact";
import { Failed } from "./parts.tsx";

interface Props {
  /** Another place begins anew. */
  place: string;
  children: ComponentChildren;
}

/** Shows a fault of one page in its place, so that the others can still be gone to. */
export class Boundary extends Component<Props, { error?: unknown; place?: string }> {
  static override getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidUpdate(before: Props) {
    if (before.place !== this.props.place && this.state.error !== undefined) {
      this.setState({ error: undefined });
    }
  }

  override render() {
    if (this.state.error === undefined) return this.props.children;
    return <Failed what="This page could not be shown." error={this.state.error} />;
  }
}
