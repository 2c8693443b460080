using System.Buffers;

namespace ByteStreams;

/// <summary>
/// Takes one message from the head of <paramref name="input"/>. Answer true with the reader advanced behind the message, or false
/// when more bytes are needed; then nothing is consumed, whatever the position, and the parser is called again with more.
/// </summary>
/// <typeparam name="T">What a message is parsed into.</typeparam>
/// <param name="input">All bytes that are buffered. They are only valid during the call.</param>
/// <param name="message">The message, when the answer is true.</param>
/// <returns>Whether a whole message was there.</returns>
public delegate bool MessageParser<T>(ref SequenceReader<byte> input, out T message);
