namespace ByteStreams.Testing;

/// <summary>
/// A part of one direction of a connection: so many bytes that end in a send of their own, whatever pieces they came in, and what
/// happens behind them. Steps count bytes and not receives, so that the same plan does the same to the same bytes in every run.
/// </summary>
/// <param name="Bytes">How many bytes are passed on first; zero or more.</param>
/// <param name="Then">What happens then. <see cref="ChaosAction.Continue"/> by default.</param>
/// <param name="For">How long <see cref="ChaosAction.Pause"/> lasts; zero or more, or <see cref="Timeout.InfiniteTimeSpan"/>. Not looked at for other actions.</param>
/// <param name="Hold">
/// How long bytes of this step are held back so that they leave in one send (coalescing); they leave earlier when the step is whole,
/// when 65,536 bytes are held, or at the end. Zero, the default, passes on at once what is there.
/// </param>
public readonly record struct ChaosStep(int Bytes, ChaosAction Then = ChaosAction.Continue, TimeSpan For = default, TimeSpan Hold = default);
