namespace ByteStreams.Testing;

/// <summary>A direction of a connection through a <see cref="ChaosRelay"/>.</summary>
public enum ChaosDirection
{
    /// <summary>From whoever connected to the relay, to its upstream.</summary>
    ToUpstream,

    /// <summary>From the upstream back.</summary>
    ToClient,
}
