namespace StreamsHost;

/// <summary>What the command line says about the configuration.</summary>
/// <param name="File">The configuration file; null for the one beside the program.</param>
/// <param name="Keys">Single keys, each as <c>--key=value</c>.</param>
/// <param name="WithoutFile">Whether no file is read, the one beside the program included.</param>
internal sealed record HostArguments(string? File, IReadOnlyList<string> Keys, bool WithoutFile = false);
